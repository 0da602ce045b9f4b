"""Queries: what is asked, what it means, and who knows the answer (PS3.4 Annexes C and K).

`keys` makes an identifier of what people type, `models` knows which identifiers are legal,
`matching` holds one against attributes and fills in the answer, `index` and `worklist` know what
there is. No network here: a service class provider asks an index, and sends what it says. Files are
read by `index`, by way of `files`; pydicom is imported by the first call that needs it.
"""

from dul_fsm.query.index import InstanceIndex
from dul_fsm.query.keys import InvalidKey, Key, build_identifier, keyword_of, parse_key
from dul_fsm.query.matching import Query, matches
from dul_fsm.query.models import (
    IMAGE,
    MODALITY_WORKLIST,
    MODELS,
    PATIENT,
    PATIENT_ROOT,
    PATIENT_STUDY_ONLY,
    SERIES,
    STUDY,
    STUDY_ROOT,
    IdentifierError,
    InformationModel,
    check_query,
    check_retrieval,
    model_of,
)
from dul_fsm.query.tree import IndexedInstance
from dul_fsm.query.worklist import Worklist

__all__ = [
    "IMAGE",
    "MODALITY_WORKLIST",
    "MODELS",
    "PATIENT",
    "PATIENT_ROOT",
    "PATIENT_STUDY_ONLY",
    "SERIES",
    "STUDY",
    "STUDY_ROOT",
    "IdentifierError",
    "IndexedInstance",
    "InformationModel",
    "InstanceIndex",
    "InvalidKey",
    "Key",
    "Query",
    "Worklist",
    "build_identifier",
    "check_query",
    "check_retrieval",
    "keyword_of",
    "matches",
    "model_of",
    "parse_key",
]
