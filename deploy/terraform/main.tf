# readgate on AWS: a network load balancer that passes TLS through and says by PROXY v2 who the
# client is; security groups made of the list of sources; the replica's password in Secrets Manager.

locals {
  door_port = 3307
  ops_port  = 9104

  networks = merge([
    for name, source in var.sources : {
      for network in source.networks : "${name} ${network}" => {
        network = network
        is_ipv6 = strcontains(network, ":")
        reason  = "${name}: ${source.reason}"
      }
    }
  ]...)
}

resource "aws_security_group" "balancer" {
  name_prefix = "${var.name}-balancer-"
  description = "Clients of readgate: the list of sources and nobody else"
  vpc_id      = var.vpc_id

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "nodes" {
  name_prefix = "${var.name}-nodes-"
  description = "Nodes of readgate"
  vpc_id      = var.vpc_id

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_ingress_rule" "source" {
  for_each = local.networks

  security_group_id = aws_security_group.balancer.id
  description       = substr(replace(each.value.reason, "/[^a-zA-Z0-9. _:-]/", " "), 0, 255)
  cidr_ipv4         = each.value.is_ipv6 ? null : each.value.network
  cidr_ipv6         = each.value.is_ipv6 ? each.value.network : null
  ip_protocol       = "tcp"
  from_port         = 3306
  to_port           = 3306
}

resource "aws_vpc_security_group_egress_rule" "balancer" {
  for_each = toset([tostring(local.door_port), tostring(local.ops_port)])

  security_group_id            = aws_security_group.balancer.id
  referenced_security_group_id = aws_security_group.nodes.id
  ip_protocol                  = "tcp"
  from_port                    = tonumber(each.value)
  to_port                      = tonumber(each.value)
}

resource "aws_vpc_security_group_ingress_rule" "nodes" {
  for_each = toset([tostring(local.door_port), tostring(local.ops_port)])

  security_group_id            = aws_security_group.nodes.id
  referenced_security_group_id = aws_security_group.balancer.id
  description                  = "From the balancer alone: what comes from elsewhere has no PROXY header"
  ip_protocol                  = "tcp"
  from_port                    = tonumber(each.value)
  to_port                      = tonumber(each.value)
}

resource "aws_vpc_security_group_ingress_rule" "monitoring" {
  for_each = toset(var.monitoring_security_group_ids)

  security_group_id            = aws_security_group.nodes.id
  referenced_security_group_id = each.value
  ip_protocol                  = "tcp"
  from_port                    = local.ops_port
  to_port                      = local.ops_port
}

resource "aws_vpc_security_group_egress_rule" "replica" {
  security_group_id            = aws_security_group.nodes.id
  referenced_security_group_id = var.replica_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = var.replica_port
  to_port                      = var.replica_port
}

resource "aws_vpc_security_group_ingress_rule" "replica" {
  security_group_id            = var.replica_security_group_id
  referenced_security_group_id = aws_security_group.nodes.id
  description                  = "readgate"
  ip_protocol                  = "tcp"
  from_port                    = var.replica_port
  to_port                      = var.replica_port
}

# Where nodes share a store of users ([identities] with url).
resource "aws_vpc_security_group_egress_rule" "identities" {
  count = var.identities_security_group_id == null ? 0 : 1

  security_group_id            = aws_security_group.nodes.id
  referenced_security_group_id = var.identities_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = var.identities_port
  to_port                      = var.identities_port
}

resource "aws_vpc_security_group_ingress_rule" "identities" {
  count = var.identities_security_group_id == null ? 0 : 1

  security_group_id            = var.identities_security_group_id
  referenced_security_group_id = aws_security_group.nodes.id
  description                  = "readgate"
  ip_protocol                  = "tcp"
  from_port                    = var.identities_port
  to_port                      = var.identities_port
}

resource "aws_lb" "this" {
  name_prefix                      = "rg-"
  load_balancer_type               = "network"
  internal                         = false
  subnets                          = var.public_subnet_ids
  security_groups                  = [aws_security_group.balancer.id]
  enable_cross_zone_load_balancing = true
  enable_deletion_protection       = true
}

resource "aws_lb_target_group" "nodes" {
  name_prefix            = "rg-"
  vpc_id                 = var.vpc_id
  port                   = local.door_port
  protocol               = "TCP"
  target_type            = "instance"
  proxy_protocol_v2      = true
  preserve_client_ip     = "false"
  deregistration_delay   = 60
  connection_termination = true

  health_check {
    protocol            = "HTTP"
    port                = tostring(local.ops_port)
    path                = "/readyz"
    matcher             = "200"
    interval            = 5
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_lb_target_group_attachment" "node" {
  for_each = var.node_instance_ids

  target_group_arn = aws_lb_target_group.nodes.arn
  target_id        = each.value
}

resource "aws_lb_listener" "mysql" {
  load_balancer_arn = aws_lb.this.arn
  port              = 3306
  protocol          = "TCP"
  # The longest that AWS allows; clients that are idle for longer need TCP keepalive.
  tcp_idle_timeout_seconds = 6000

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.nodes.arn
  }
}

# The values are put in by hand or by rotation, never by Terraform: its state would hold them.
resource "aws_secretsmanager_secret" "this" {
  for_each = toset(["replica-password", "identities-password", "tls-key"])

  name_prefix             = "${var.name}/${each.value}-"
  kms_key_id              = var.secrets_kms_key_id
  recovery_window_in_days = 30
}

data "aws_iam_policy_document" "read_secrets" {
  statement {
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [for secret in aws_secretsmanager_secret.this : secret.arn]
  }
}

resource "aws_iam_policy" "read_secrets" {
  name_prefix = "${var.name}-secrets-"
  description = "What a node of readgate reads at its start"
  policy      = data.aws_iam_policy_document.read_secrets.json
}
