# Slicer configures CPack here; the packaging tests stop at the install tree.
