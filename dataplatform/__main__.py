"""`python -m dataplatform`: run one instance of the data platform's sender."""

from dataplatform.app import create_app
from infra.run import main

main("dataplatform", create_app)
