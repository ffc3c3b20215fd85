# muster_library(NAME layer SRCS ... HDRS ... DEPS ...): one folder, one target, one layer.
#
# The target's name is the folder's with '_' for '/', so operator/base is operator_base. HDRS become a
# header set that is verified to compile alone (target `all_verify_interface_header_sets`).
# DEPS are the layers below; they are the diagram that hack/layers.txt states and the tidy test checks.
function(muster_library)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;HDRS;DEPS" ${ARGN})
  if(NOT ARG_SRCS)
    set(kind INTERFACE)
    set(scope INTERFACE)
  else()
    set(kind STATIC)
    set(scope PUBLIC)
  endif()
  add_library(${ARG_NAME} ${kind} ${ARG_SRCS})
  target_sources(${ARG_NAME} ${scope}
    FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR} FILES ${ARG_HDRS})
  target_include_directories(${ARG_NAME} ${scope} ${PROJECT_SOURCE_DIR})
  target_link_libraries(${ARG_NAME} ${scope} ${ARG_DEPS})
  set_target_properties(${ARG_NAME} PROPERTIES POSITION_INDEPENDENT_CODE ON)
endfunction()

# muster_test_code(TARGET): what only tests are made of. It has to be built soon and not to be fast, so it is not
# optimised (what it tests is, as it ships) and begins with headers that are compiled once for all (the target
# test_prelude of tests/). A preset that is no unity build does without: there a forgotten include is seen.
function(muster_test_code TARGET)
  target_include_directories(${TARGET} PRIVATE ${PROJECT_SOURCE_DIR})
  # All alike, or the compiler does not take what was compiled once.
  target_compile_options(${TARGET} PRIVATE $<$<CONFIG:Release>:-O0> -pthread)
  target_compile_definitions(${TARGET} PRIVATE GTEST_HAS_PTHREAD=1)
  if(CMAKE_UNITY_BUILD)
    target_precompile_headers(${TARGET} REUSE_FROM test_prelude)
  endif()
endfunction()

# muster_test(NAME x_test SRCS ... DEPS ... [LABEL unit|sim|integration] [TIMEOUT seconds] [TSAN] [OPTIMISED]):
# a GoogleTest program, registered with ctest under its label, and built by the target <label>_tests. TSAN
# says that its threads lie behind the gRPC seam and are ours: it is one of hack/dev tsan's. OPTIMISED: it spends its
# time in its own code. What it shares templates with must be optimised too, or the linker takes the slow ones.
foreach(kind unit sim integration tsan)
  add_custom_target(${kind}_tests)
endforeach()
function(muster_test)
  cmake_parse_arguments(ARG "TSAN;OPTIMISED" "NAME;LABEL;TIMEOUT" "SRCS;DEPS" ${ARGN})
  if(NOT ARG_LABEL)
    set(ARG_LABEL unit)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS} GTest::gmock GTest::gtest_main)
  target_compile_definitions(${ARG_NAME} PRIVATE
    MUSTER_SOURCE_DIR="${PROJECT_SOURCE_DIR}" MUSTER_BINARY_DIR="${PROJECT_BINARY_DIR}")
  if(ARG_OPTIMISED)
    target_include_directories(${ARG_NAME} PRIVATE ${PROJECT_SOURCE_DIR})
  else()
    muster_test_code(${ARG_NAME})
  endif()
  set_target_properties(${ARG_NAME} PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME})
  add_dependencies(${ARG_LABEL}_tests ${ARG_NAME})
  set(labels ${ARG_LABEL})
  if(ARG_TSAN)
    add_dependencies(tsan_tests ${ARG_NAME})
    list(APPEND labels tsan)
  endif()
  set_tests_properties(${ARG_NAME} PROPERTIES LABELS "${labels}" TIMEOUT ${ARG_TIMEOUT})
endfunction()
