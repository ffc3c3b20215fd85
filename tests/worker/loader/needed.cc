extern "C" int needed() { return 7; }
