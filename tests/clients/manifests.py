"""Renders a Helm chart with Helm's own engine, and compares each manifest with Kubernetes' schemas; prints both as JSON.

Runs in the environment of `manifests.lock`. Standard input names the chart, the values of each case, and the versions
of Kubernetes.
"""

import json
import sys

import helm_python as helm
import kubernetes_validate
import yaml

INFO = 1
"""The severity of a remark, such as that a chart has no icon."""


def render(chart, values):
    """The manifests of a case, or what Helm objects to."""
    try:
        chart.validate_schema(values)
        texts = chart.render(values, name="churn", namespace="models").values()
    except helm.HelmError as error:
        return {"objection": str(error)}
    manifests = [manifest for text in texts for manifest in yaml.safe_load_all(text) if manifest]
    return {"manifests": manifests}


def objections(manifests, versions):
    """What the schemas of these versions object to; a key that they don't know, too."""
    for version in versions:
        for manifest in manifests:
            try:
                kubernetes_validate.validate(manifest, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{version} {manifest['kind']} {manifest['metadata']['name']}: {error.message}"


def main():
    job = json.load(sys.stdin)
    with helm.Chart.load(job["chart"]) as chart:
        answers = {name: render(chart, values) for name, values in job["cases"].items()}
    for answer in answers.values():
        answer["objections"] = list(objections(answer.get("manifests", []), job["versions"]))
    report = helm.lint(job["chart"], values=next(iter(job["cases"].values())))
    findings = [message for message in report["messages"] if message["severity"] > INFO]
    print(json.dumps({"cases": answers, "lint": findings}))


main()
