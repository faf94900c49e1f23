# Writes OUT: the text of the manual page PAGE as a C++ string literal.
file(READ ${PAGE} page)
file(WRITE ${OUT} "// Made from tools/man/xlfsck.8.\n#include \"tools/xlfsck/manual.hpp\"\n\n"
     "namespace xlstore::tools {\n\nconst std::string_view kManual = R\"~~~(${page})~~~\";\n\n"
     "}  // namespace xlstore::tools\n")
