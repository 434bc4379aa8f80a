# A CMake toolchain that asks for no compiler. Slicer itself needs C and C++ enabled, so the extension's project() has to
# enable them, but scripted modules are only copied: the packaging tests must run where no compiler is installed.
foreach(language C CXX)
  set(CMAKE_${language}_COMPILER ${CMAKE_COMMAND})
  set(CMAKE_${language}_COMPILER_FORCED TRUE)
endforeach()
