"""Study and space definitions: what a TOML file says, read, overridden and validated."""

from hqsearch.definition.data import DataDefinition
from hqsearch.definition.files import (
    changed_study,
    embedded,
    find_definition,
    load_space,
    load_study,
    parse_override,
    study_of_tables,
)
from hqsearch.definition.names import checked_name, study_name
from hqsearch.definition.recorded import located_definition, moved
from hqsearch.definition.search import SearchOptions
from hqsearch.definition.space import LayerRule, SpaceDefinition, StructureRule
from hqsearch.definition.study import (
    EvaluationOptions,
    HardwareDefinition,
    ModelDefinition,
    ObjectiveDefinition,
    StudyDefinition,
)
from hqsearch.definition.tables import Strict, collecting, validate
from hqsearch.toml import read_toml

__all__ = [
    "DataDefinition",
    "EvaluationOptions",
    "HardwareDefinition",
    "LayerRule",
    "ModelDefinition",
    "ObjectiveDefinition",
    "SearchOptions",
    "SpaceDefinition",
    "Strict",
    "StructureRule",
    "StudyDefinition",
    "changed_study",
    "checked_name",
    "collecting",
    "embedded",
    "find_definition",
    "load_space",
    "load_study",
    "located_definition",
    "moved",
    "parse_override",
    "read_toml",
    "study_name",
    "study_of_tables",
    "validate",
]
