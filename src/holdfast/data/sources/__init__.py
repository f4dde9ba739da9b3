"""Where data comes from: files, folders, patterns, databases, data sets and documents, each as a stream."""

from holdfast.data.sources.documents import Passage, is_document, passages, passages_of_all
from holdfast.data.sources.stream import documents, stream

__all__ = ["Passage", "documents", "is_document", "passages", "passages_of_all", "stream"]
