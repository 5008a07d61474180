output "address" {
  description = "Where clients connect, port 3306. Certificates must be for the name they use."
  value       = aws_lb.this.dns_name
}

output "node_security_group_id" {
  description = "For the instances that run readgate."
  value       = aws_security_group.nodes.id
}

output "read_secrets_policy_arn" {
  description = "For the role of those instances."
  value       = aws_iam_policy.read_secrets.arn
}

output "secret_arns" {
  description = "Where the secrets' values are to be put."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
}

output "sources_toml" {
  description = "The [[source]] tables of proxy.toml, from the same list as the security group."
  value = templatefile("${path.module}/sources.toml.tftpl", {
    sources = var.sources
  })
}
