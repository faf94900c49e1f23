# SPDX-License-Identifier: MIT
# The product once more, not sanitized, in plain/bin and plain/lib of the build: for what a sanitizer cannot be in
# (valgrind, the dom0 of tests/xen), and for the proof that a missing guard is noticed, since a process with a
# disabled guard may do anything. One set of objects serves them all: a guard is disabled only where
# XLSTORE_DISABLE_GUARD names it (store/testing/mutation.hpp).
set(plain ${PROJECT_BINARY_DIR}/plain)

# A guard that is an order of steps, or something that is never done, has no condition to disable: the mutation adds
# code, by a patch to a copy of the source (crash/mutants).
file(GLOB mutants CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/crash/mutants/*.patch)
foreach(mutant IN LISTS mutants)
    file(STRINGS ${mutant} source REGEX "^\\+\\+\\+ b/")
    string(REPLACE "+++ b/" "${PROJECT_SOURCE_DIR}/" source "${source}")
    list(APPEND mutated ${source})
    list(APPEND mutants_of_${source} ${mutant})
endforeach()
list(REMOVE_DUPLICATES mutated)
foreach(source IN LISTS mutated)
    cmake_path(RELATIVE_PATH source BASE_DIRECTORY ${PROJECT_SOURCE_DIR} OUTPUT_VARIABLE name)
    set(copy_of_${source} ${CMAKE_CURRENT_BINARY_DIR}/mutated/${name})
    set(patches "")
    foreach(mutant IN LISTS mutants_of_${source})
        list(APPEND patches COMMAND patch --quiet --no-backup-if-mismatch ${copy_of_${source}} ${mutant})
    endforeach()
    add_custom_command(OUTPUT ${copy_of_${source}} VERBATIM DEPENDS ${source} ${mutants_of_${source}}
        COMMAND ${CMAKE_COMMAND} -E copy ${source} ${copy_of_${source}} ${patches})
endforeach()

# plain_TARGET: the objects of TARGET, compiled without a sanitizer and with mutations.
function(plain_objects target)
    get_target_property(sources ${target} SOURCES)
    get_target_property(directory ${target} SOURCE_DIR)
    get_target_property(libraries ${target} LINK_LIBRARIES)
    set(compiled "")
    foreach(source IN LISTS sources)
        cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${directory})
        # What a source is compiled with is known in its own directory alone.
        foreach(property COMPILE_DEFINITIONS COMPILE_OPTIONS SKIP_UNITY_BUILD_INCLUSION)
            get_property(value SOURCE ${source} DIRECTORY ${directory} PROPERTY ${property})
            if(value)
                set_property(SOURCE ${source} PROPERTY ${property} ${value})
            endif()
        endforeach()
        if(DEFINED copy_of_${source})
            set(source ${copy_of_${source}})
        endif()
        list(APPEND compiled ${source})
    endforeach()
    add_library(plain_${target} OBJECT ${compiled})
    target_link_libraries(plain_${target} PRIVATE ${target} ${libraries})
    target_compile_definitions(plain_${target} PRIVATE XLSTORE_MUTATIONS)
    target_compile_options(plain_${target} PRIVATE -include ${PROJECT_SOURCE_DIR}/store/testing/mutation.hpp)
    get_target_property(batch ${target} UNITY_BUILD_BATCH_SIZE)
    set_target_properties(plain_${target} PROPERTIES XLSTORE_UNSANITIZED ON UNITY_BUILD_BATCH_SIZE ${batch})
endfunction()
find_package(CLI11 REQUIRED)
find_package(spdlog REQUIRED)
foreach(target xlstore_core xlstore_recovery xlstore_tools xlstore_verbs xlfsck_parts)
    plain_objects(${target})
endforeach()
set(library $<TARGET_OBJECTS:plain_xlstore_core> $<TARGET_OBJECTS:plain_xlstore_recovery>)

# TARGET is called NAME, and nothing of it is sanitized.
function(plain_target target name)
    target_include_directories(${target} PRIVATE
        ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/store/include ${PROJECT_SOURCE_DIR}/recovery/include)
    target_link_libraries(${target} PRIVATE
        xlstore_flags PkgConfig::SQLITE Threads::Threads spdlog::spdlog CLI11::CLI11)
    set_target_properties(${target} PROPERTIES XLSTORE_UNSANITIZED ON XLSTORE_LINKED_PLAIN ON OUTPUT_NAME ${name}
        RUNTIME_OUTPUT_DIRECTORY ${plain}/bin LIBRARY_OUTPUT_DIRECTORY ${plain}/lib)
endfunction()
set(tools ${PROJECT_SOURCE_DIR}/tools)
add_executable(plain_xlstore ${tools}/xlstore/main.cc ${library}
    $<TARGET_OBJECTS:plain_xlstore_tools> $<TARGET_OBJECTS:plain_xlstore_verbs>)
plain_target(plain_xlstore xlstore)
add_executable(plain_xlfsck ${tools}/xlfsck/main.cc ${tools}/xlfsck/terminal.cc ${library}
    $<TARGET_OBJECTS:plain_xlstore_tools> $<TARGET_OBJECTS:plain_xlfsck_parts>)
plain_target(plain_xlfsck xlfsck)
add_library(plain_shared SHARED ${library})
plain_target(plain_shared xlstore)
set_target_properties(plain_shared PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR})
target_link_options(plain_shared PRIVATE -Wl,--version-script=${PROJECT_SOURCE_DIR}/store/capi/capi.map)
add_custom_target(plain DEPENDS plain_xlstore plain_xlfsck plain_shared)
if(TARGET xlstore_libxl)
    get_target_property(sources xlstore_libxl SOURCES)
    list(TRANSFORM sources PREPEND ${tools}/)
    add_library(plain_journal SHARED ${sources})
    foreach(property C_STANDARD C_EXTENSIONS UNITY_BUILD NO_SONAME C_VISIBILITY_PRESET LINK_OPTIONS BUILD_RPATH)
        get_target_property(value xlstore_libxl ${property})
        set_property(TARGET plain_journal PROPERTY ${property} "${value}")
    endforeach()
    set_target_properties(plain_journal PROPERTIES OUTPUT_NAME xlstore-libxl LIBRARY_OUTPUT_DIRECTORY ${plain}/lib)
    target_include_directories(plain_journal PRIVATE
        ${PROJECT_SOURCE_DIR}/store/include ${PROJECT_SOURCE_DIR}/recovery/include ${LIBXL_INCLUDE})
    target_link_libraries(plain_journal PRIVATE plain_shared ${LIBXENLIGHT} ${CMAKE_DL_LIBS})
    add_dependencies(plain plain_journal)
endif()

# What a proof needs beside them.
foreach(program killer scratch_xenstored)
    add_custom_command(TARGET plain_xlstore POST_BUILD COMMAND ${CMAKE_COMMAND} -E create_symlink
        ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/${program} ${plain}/bin/${program})
endforeach()
# A sanitized test program, PROGRAM, of these objects, whose store is not: the mutations are in it.
function(with_mutations program objects)
    add_executable(${program}_with_mutations ${library})
    target_link_libraries(${program}_with_mutations PRIVATE ${objects} ${ARGN})
    set_target_properties(${program}_with_mutations PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${plain}/bin)
endfunction()
with_mutations(unit_tests unit_test_objects pure_test_objects xlstore_verbs xlstore_tools)
with_mutations(barrier_test barrier_test_objects)
