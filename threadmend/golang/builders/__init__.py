"""Builders of edits: statements, structs, imports, signatures; they change nothing.

Every builder takes lowered nodes and returns edits of the one file that the nodes are in.
The code that it writes is gofmt's, except that columns (struct fields, comments at the ends
of lines, `key: value` pairs) are put right at the end, by `realign(tree, edits)`, because
they depend on all edits of a fix together.
"""

from threadmend.golang.builders.channels import with_capacity, with_room
from threadmend.golang.builders.clauses import add_case, add_label, delete_clause
from threadmend.golang.builders.imports import (
    ImportEntry,
    add_import,
    add_imports,
    import_entries,
    import_name,
    package_name,
    reach_import,
    remove_import,
)
from threadmend.golang.builders.lines import BuilderError, applied
from threadmend.golang.builders.names import (
    KEYWORDS,
    PREDECLARED,
    free_label,
    free_name,
    names_around,
    names_of_file,
    taken_names,
)
from threadmend.golang.builders.orphans import delete_calls
from threadmend.golang.builders.realign import composed, realign, realigned
from threadmend.golang.builders.reasons import or_reason, with_reason
from threadmend.golang.builders.signatures import (
    Parameter,
    add_argument,
    add_parameter,
    address,
    arguments,
    parameters,
    remove_argument,
    remove_parameter,
)
from threadmend.golang.builders.statements import (
    at_margin,
    delete,
    delete_all,
    insert_after,
    insert_at_end,
    insert_at_start,
    insert_before,
    move_after,
    move_before,
    replace,
    wrap,
)
from threadmend.golang.builders.structs import (
    add_element,
    add_field,
    change_field_type,
    fields,
    remove_element,
    remove_field,
)

__all__ = [
    "KEYWORDS",
    "PREDECLARED",
    "BuilderError",
    "ImportEntry",
    "Parameter",
    "add_argument",
    "add_case",
    "add_element",
    "add_field",
    "add_import",
    "add_imports",
    "add_label",
    "add_parameter",
    "address",
    "applied",
    "arguments",
    "at_margin",
    "change_field_type",
    "composed",
    "delete",
    "delete_all",
    "delete_calls",
    "delete_clause",
    "fields",
    "free_label",
    "free_name",
    "import_entries",
    "import_name",
    "insert_after",
    "insert_at_end",
    "insert_at_start",
    "insert_before",
    "move_after",
    "move_before",
    "names_around",
    "names_of_file",
    "or_reason",
    "package_name",
    "parameters",
    "reach_import",
    "realign",
    "realigned",
    "remove_argument",
    "remove_element",
    "remove_field",
    "remove_import",
    "remove_parameter",
    "replace",
    "taken_names",
    "with_capacity",
    "with_reason",
    "with_room",
    "wrap",
]
