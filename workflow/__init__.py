"""What runs after what: helpers of the Snakefile. Everything here runs in the root of the repository."""

import sys

# Importing nbformat imports this by way of jsonschema, and it spends a second on a grammar of web addresses, which no
# notebook needs: jsonschema does without where it is missing.
sys.modules.setdefault("rfc3987_syntax", None)
