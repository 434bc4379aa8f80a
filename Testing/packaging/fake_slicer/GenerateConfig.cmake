# Leaves what the extension says of itself where the tests can read it.
file(WRITE ${CMAKE_BINARY_DIR}/extension.txt
  "version=${PROJECT_VERSION}\ncategory=${EXTENSION_CATEGORY}\ndepends=${EXTENSION_DEPENDS}\n")
