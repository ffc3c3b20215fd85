// Empty: what is compiled is the headers that come before it (tests/CMakeLists.txt).
