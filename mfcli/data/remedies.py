"""What errors in files advise: an option, where the command has options for reading, else what to do by hand."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Remedies:
    """What to do about each kind of fault, as the end of an error says it. ``{}`` stands for the text at fault."""

    encoding: str
    no_text: str
    quoting: str
    separator: str
    decimal: str
    missing: str
    comment: str
    header: str
    columns: str
    same_name: str


BY_OPTION = Remedies(
    encoding="give --encoding (cp1252 is what Windows writes)",
    no_text="it is no text, or --encoding utf-16",
    quoting="mend it, or give --quoting none",
    separator="give --separator, or mend the file",
    decimal="--decimal , reads it",
    missing="--missing '{}' drops such rows",
    comment="if the line is a comment, give --comment '{}'",
    header="is it a header? Leave out --no-header then",
    columns="--columns says which column is what",
    same_name="say which by number with {}",
)
BY_HAND = Remedies(
    encoding="save the file as UTF-8",
    no_text="it is no text, or save it as UTF-8",
    quoting="mend it",
    separator="put commas between the columns",
    decimal="write it with a point",
    missing="leave such rows out",
    comment="if the line is a comment, take it out",
    header="is it a header? Name its columns as they are usually named then",
    columns="name the columns in a header",
    same_name="give them different names",
)
