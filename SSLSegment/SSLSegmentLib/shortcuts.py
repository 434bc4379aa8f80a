"""The keys of the module, for the panel to bind and for the help to list. No Qt.

None of them is one of Slicer's own, of the Segment Editor's, the Markups toolbar's or the Sequences toolbar's.
"""

from __future__ import annotations

TRAIN = "Ctrl+Shift+R"
SUGGEST = "Ctrl+Shift+N"
ACCEPT_SLICE = "Ctrl+Shift+K"

SHORTCUTS = {
    TRAIN: "Train, or stop the training",
    SUGGEST: "Suggest the next slice to annotate",
    ACCEPT_SLICE: "Accept the predicted slice in view",
}
"""What each key does."""
