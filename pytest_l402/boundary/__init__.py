"""How what comes from outside is read, and what goes outside is shown."""

from pytest_l402.boundary.input_error import InputError
from pytest_l402.boundary.redaction import digest_reference, is_digest_reference, redact_text, redact_values
from pytest_l402.boundary.strict_json import parse_json, read_json, read_json_lines
from pytest_l402.boundary.text_safety import folder_name, plain_folder_name, printable, quoted, tagless
from pytest_l402.boundary.whole_files import write_whole

__all__ = [
    "InputError",
    "digest_reference",
    "folder_name",
    "is_digest_reference",
    "parse_json",
    "plain_folder_name",
    "printable",
    "quoted",
    "read_json",
    "read_json_lines",
    "redact_text",
    "redact_values",
    "tagless",
    "write_whole",
]
