include(CTest)

foreach(field HOMEPAGE CATEGORY CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if("${EXTENSION_${field}}" STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${field} is not set")
  endif()
endforeach()

# Copies scripts and resources to the build tree when the project is built, and installs that tree, as CTK's macro does.
function(ctkMacroCompilePythonScript)
  cmake_parse_arguments(MY "NO_INSTALL_SUBDIR" "TARGET_NAME;DESTINATION_DIR;INSTALL_DIR" "SCRIPTS;RESOURCES" ${ARGN})
  foreach(argument TARGET_NAME DESTINATION_DIR INSTALL_DIR SCRIPTS NO_INSTALL_SUBDIR)
    if(NOT MY_${argument})
      message(FATAL_ERROR "ctkMacroCompilePythonScript() needs ${argument}")
    endif()
  endforeach()
  if(MY_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "ctkMacroCompilePythonScript() does not know ${MY_UNPARSED_ARGUMENTS}")
  endif()

  set(copies)
  foreach(file IN LISTS MY_SCRIPTS MY_RESOURCES)
    if(IS_ABSOLUTE ${file} OR file MATCHES "\\.\\.")
      message(FATAL_ERROR "${file} does not lie below ${CMAKE_CURRENT_SOURCE_DIR}: Slicer would copy it elsewhere")
    endif()
    if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${file})
      message(FATAL_ERROR "${MY_TARGET_NAME} lists a nonexistent file '${file}'")
    endif()
    set(copy ${MY_DESTINATION_DIR}/${file})
    add_custom_command(OUTPUT ${copy} DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${file}
      COMMAND ${CMAKE_COMMAND} -E copy ${CMAKE_CURRENT_SOURCE_DIR}/${file} ${copy} VERBATIM)
    list(APPEND copies ${copy})
  endforeach()
  add_custom_target(Copy${MY_TARGET_NAME}PythonFiles ALL DEPENDS ${copies})
  install(DIRECTORY ${MY_DESTINATION_DIR}/ DESTINATION ${MY_INSTALL_DIR})
endfunction()

function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS OR NOT MY_NAME)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule() needs NAME and does not know '${MY_UNPARSED_ARGUMENTS}'")
  endif()
  ctkMacroCompilePythonScript(
    TARGET_NAME ${MY_NAME}
    SCRIPTS ${MY_SCRIPTS}
    RESOURCES ${MY_RESOURCES}
    DESTINATION_DIR ${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}
    INSTALL_DIR ${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}
    NO_INSTALL_SUBDIR
    )
endfunction()

function(slicer_add_python_unittest)
  cmake_parse_arguments(MY "" "TESTNAME_PREFIX;SCRIPT" "SLICER_ARGS" ${ARGN})
  if(NOT EXISTS ${CMAKE_CURRENT_SOURCE_DIR}/${MY_SCRIPT})
    message(FATAL_ERROR "slicer_add_python_unittest() lists a nonexistent file '${MY_SCRIPT}'")
  endif()
  get_filename_component(test_name ${MY_SCRIPT} NAME_WE)
  add_test(NAME py_${MY_TESTNAME_PREFIX}${test_name} COMMAND ${Slicer_LAUNCHER_EXECUTABLE} ${MY_SLICER_ARGS})
endfunction()
