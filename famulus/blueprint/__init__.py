"""What a workflow is: values, JSON, structure, expressions, linter, drawing. Pure: no I/O, no clock, no randomness."""

from famulus.blueprint.analysis import Analysis, analyse
from famulus.blueprint.builtins import BUILT_INS, Params, parse_params
from famulus.blueprint.checking import check_blueprint
from famulus.blueprint.codec import digest_of, encode_blueprint, parse_blueprint
from famulus.blueprint.differences import Change, differences
from famulus.blueprint.drawing import to_mermaid
from famulus.blueprint.expressions import Expression, compile_expression
from famulus.blueprint.forms import check_form
from famulus.blueprint.graph import Graph, Route, build_graph
from famulus.blueprint.issues import SPECIFIED_CODES, Issue, issues_as_text
from famulus.blueprint.linter import lint, lint_document
from famulus.blueprint.model import Blueprint, Edge, JoinPolicy, Node, NodeConfig
from famulus.blueprint.values import ABSENT, is_true

__all__ = [
    "ABSENT",
    "BUILT_INS",
    "SPECIFIED_CODES",
    "Analysis",
    "Blueprint",
    "Change",
    "Edge",
    "Expression",
    "Graph",
    "Issue",
    "JoinPolicy",
    "Node",
    "NodeConfig",
    "Params",
    "Route",
    "analyse",
    "build_graph",
    "check_blueprint",
    "check_form",
    "compile_expression",
    "differences",
    "digest_of",
    "encode_blueprint",
    "is_true",
    "issues_as_text",
    "lint",
    "lint_document",
    "parse_blueprint",
    "parse_params",
    "to_mermaid",
]
