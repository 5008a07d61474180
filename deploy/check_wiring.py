"""What no linter sees in deploy/: that mounts exist, that what is provisioned is found, and that
the cloud's security groups are made of the list of sources and nothing else."""
import json
import pathlib
import sys

import hcl2
import yaml

HERE = pathlib.Path(__file__).parent
# Made by whoever tries it, as docs/deploy.md says.
MADE_LATER = ("./certs", "./secrets/")


def read(path):
    return yaml.safe_load((HERE / path).read_text())


def check(holds, what):
    if not holds:
        sys.exit(f"deploy: {what}")


def compose():
    """Every mount is there, and every name that a service uses is declared."""
    file = read("docker/compose.yaml")
    mounted = {}
    for name, service in file["services"].items():
        for volume in service.get("volumes", []):
            source, target = volume.split(":")[:2]
            if not source.startswith("."):
                check(source in file["volumes"], f"{name}: volume {source} is not declared")
                continue
            mounted[(name, target)] = source
            there = source.startswith(MADE_LATER) or (HERE / "docker" / source).exists()
            check(there, f"{name}: {source} is not there")
        for kind in ("secrets", "networks"):
            for used in service.get(kind, []):
                check(used in file[kind], f"{name}: {used} is not declared in {kind}")
        for port in service.get("ports", []):
            check(port.startswith("127.0.0.1:"), f"{name}: {port} is open to other machines")
    return mounted


def monitoring(mounted):
    """Prometheus has the rules, Grafana the data source and the dashboard."""
    config = read("docker/prometheus.yaml")
    for rules in config["rule_files"]:
        source = mounted.get(("prometheus", f"/etc/prometheus/{rules}"))
        check(source, f"prometheus: {rules} is not mounted")
        alerts = read(pathlib.Path("docker") / source)["groups"][0]["rules"]
        operations = (HERE.parent / "docs/operations.md").read_text()
        headings = {
            "".join(c for c in line.lstrip("# ").lower().replace(" ", "-") if c.isalnum() or c in "-_")
            for line in operations.splitlines() if line.startswith("#")
        }
        for alert in alerts:
            section = alert["annotations"]["runbook"].split("#")[1]
            check(section in headings, f"{alert['alert']}: no section {section} in docs/operations.md")
    jobs = {job["job_name"] for job in config["scrape_configs"]}
    check("readgate" in jobs, "prometheus: the alert on a node that is down asks for job readgate")

    sources = read("docker/grafana-sources.yaml")["datasources"]
    check(sources[0]["type"] == "prometheus" and sources[0]["isDefault"], "grafana: no default source")
    check(sources[0]["url"] == "http://prometheus:9090", "grafana: the source is not the service")
    folder = read("docker/grafana-dashboards.yaml")["providers"][0]["options"]["path"]
    boards = [source for (name, at), source in mounted.items() if name == "grafana" and at.startswith(f"{folder}/")]
    check(boards, f"grafana: no dashboard is mounted in {folder}")
    for board in boards:
        panels = json.loads((HERE / "docker" / board).read_text())["panels"]
        ids = [panel["id"] for panel in panels]
        check(len(ids) == len(set(ids)), f"{board}: two panels have the same id")
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
        check(len(places) == len(set(places)), f"{board}: two panels are in the same place")


def terraform():
    """Clients come in from var.sources alone, and nobody to the nodes but by the balancer."""
    blocks = {}
    for path in sorted((HERE / "terraform").glob("*.tf")):
        with path.open() as file:
            for block in hcl2.load(file).get("resource", []):
                for kind, named in block.items():
                    for name, body in named.items():
                        blocks[(kind.strip('"'), name.strip('"'))] = body
    entrances = {name: body for (kind, name), body in blocks.items()
                 if kind == "aws_vpc_security_group_ingress_rule"}
    by_address = {name for name, body in entrances.items() if "cidr_ipv4" in body or "cidr_ipv6" in body}
    check(by_address == {"source"}, f"terraform: addresses are let in by {by_address}")
    check(entrances["source"]["for_each"] == "${local.networks}", "terraform: not by the list of sources")
    text = (HERE / "terraform/main.tf").read_text()
    check("for name, source in var.sources" in text, "terraform: networks are not those of var.sources")
    check("0.0.0.0/0" not in text and "::/0" not in text, "terraform: something is open to all")
    target = {body.get("referenced_security_group_id") for name, body in entrances.items() if name == "nodes"}
    check(target == {"${aws_security_group.balancer.id}"}, f"terraform: nodes let in {target}")
    return len(blocks)


monitoring(compose())
print(f"wiring: ok, {terraform()} Terraform resources")
