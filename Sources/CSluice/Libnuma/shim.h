// What Swift sees of libnuma.
#include <numa.h>
