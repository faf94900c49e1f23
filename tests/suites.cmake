# SPDX-License-Identifier: MIT
# A test of ctest's for each suite of a GoogleTest program: most of a short test is the start of its process,
# so that the tests of a suite share one. Those of Peers/HostileTest measure the memory of commands, which
# begins with that of the process that starts them: each has a process of its own.
#
#   cmake -DPROGRAM=FILE -DNAME=unit -DSECONDS=120 -DLONG=SUITE,... -DOUT=FILE -P suites.cmake
#
# after each build of PROGRAM. ctest begins the suites of LONG early.
cmake_minimum_required(VERSION 3.25)
string(REPLACE "," ";" LONG "${LONG}")
execute_process(COMMAND ${PROGRAM} --gtest_list_tests OUTPUT_VARIABLE listed COMMAND_ERROR_IS_FATAL ANY)
string(REPLACE "\n" ";" lines "${listed}")
set(tests "")
foreach(line IN LISTS lines)
    set(filter "")
    if(line MATCHES "^([A-Za-z0-9_/]+)\\.")
        set(suite ${CMAKE_MATCH_1})
        if(NOT suite STREQUAL "Peers/HostileTest")
            set(filter "${suite}.*")
            set(test "${suite}")
        endif()
    elseif(suite STREQUAL "Peers/HostileTest" AND line MATCHES "^  ([A-Za-z0-9_/]+)")
        set(filter "${suite}.${CMAKE_MATCH_1}")
        set(test "${filter}")
    endif()
    if(filter)
        string(APPEND tests "add_test([=[${NAME}.${test}]=] [=[${PROGRAM}]=] [=[--gtest_filter=${filter}]=])\n"
               "set_tests_properties([=[${NAME}.${test}]=] PROPERTIES TIMEOUT ${SECONDS})\n")
        if(suite IN_LIST LONG)
            string(APPEND tests "set_tests_properties([=[${NAME}.${test}]=] PROPERTIES COST 150)\n")
        endif()
    endif()
endforeach()
file(WRITE ${OUT} "${tests}")
