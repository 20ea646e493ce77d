#!/usr/bin/env bash
# prometheus-rule.sh
# Prints the rules of alerts/*.yml as one PrometheusRule of the Prometheus operator.
set -euo pipefail
shopt -s extglob
cd "$(dirname "$0")/.."
printf 'apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: {name: sipwarden}\nspec:\n  groups:\n'
for file in alerts/!(*.example).yml; do
  sed -n '/^groups:/,$p' "$file" | sed -e 1d -e 's/^/  /'
done
