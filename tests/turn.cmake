# SPDX-License-Identifier: MIT
# Read by ctest when it begins: where the programs that try a share of many points start. From the commit, so
# that a red run belongs to the commit that it is of, and the next commit tries another share.
execute_process(COMMAND git -C ${CMAKE_CURRENT_LIST_DIR} rev-parse --short=7 HEAD
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(commit MATCHES "^[0-9a-f]+$")
    math(EXPR turn "0x${commit}")
    set(ENV{XLSTORE_TURN} ${turn})
endif()
