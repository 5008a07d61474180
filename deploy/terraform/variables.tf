variable "name" {
  description = "Prefix of all names."
  type        = string
  default     = "readgate"
}

variable "vpc_id" {
  description = "The VPC of nodes and balancer."
  type        = string
}

variable "public_subnet_ids" {
  description = "Subnets of the balancer."
  type        = list(string)
}

variable "node_instance_ids" {
  description = "Instances that run readgate, in private subnets, by a name of each."
  type        = map(string)
}

# The one list of sources: it makes the security group of the balancer and the [[source]]
# tables of proxy.toml (output "sources_toml"), so that the two can't drift apart.
variable "sources" {
  description = "Static networks that may connect, by name."
  type = map(object({
    networks = list(string)
    owner    = string
    reason   = string
    ticket   = optional(string)
  }))

  validation {
    condition     = alltrue([for source in var.sources : alltrue([for network in source.networks : can(cidrnetmask(network)) || can(cidrsubnet(network, 0, 0))])])
    error_message = "Each network is written as a CIDR, such as 81.2.69.160/27."
  }

  validation {
    condition     = alltrue([for source in var.sources : alltrue([for network in source.networks : tonumber(split("/", network)[1]) >= 8])])
    error_message = "A network wider than /8 is no list of sources."
  }
}

variable "monitoring_security_group_ids" {
  description = "Who may read /metrics and /readyz on the nodes."
  type        = list(string)
  default     = []
}

variable "replica_security_group_id" {
  description = "Security group of the replica; nodes are let in to its port."
  type        = string
}

variable "replica_port" {
  description = "Port of the replica."
  type        = number
  default     = 3306
}

variable "identities_security_group_id" {
  description = "Security group of the shared store of users; null: there is none."
  type        = string
  default     = null
}

variable "identities_port" {
  description = "Port of the shared store of users."
  type        = number
  default     = 3306
}

variable "secrets_kms_key_id" {
  description = "KMS key of the secrets; null: the account's own."
  type        = string
  default     = null
}
