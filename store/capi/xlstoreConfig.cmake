# SPDX-License-Identifier: MIT
#   find_package(xlstore 0.2 REQUIRED)                    xlstore::xlstore, the shared library, alone
#   find_package(xlstore 0.2 REQUIRED COMPONENTS static)  xlstore::static as well, which needs SQLite
include(${CMAKE_CURRENT_LIST_DIR}/xlstoreTargets.cmake)
foreach(component IN LISTS xlstore_FIND_COMPONENTS)
    if(component STREQUAL "static")
        include(CMakeFindDependencyMacro)
        find_dependency(SQLite3 3.40)
        find_dependency(Threads)
        include(${CMAKE_CURRENT_LIST_DIR}/xlstoreStaticTargets.cmake)
    elseif(xlstore_FIND_REQUIRED_${component})
        set(xlstore_FOUND FALSE)
        set(xlstore_NOT_FOUND_MESSAGE "xlstore has no component ${component}")
    endif()
endforeach()
