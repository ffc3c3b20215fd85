extern "C" int needed();
extern "C" int needing() { return needed(); }
