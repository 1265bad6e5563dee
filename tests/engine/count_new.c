/* Counts what C++ asks the system for, in front of libstdc++ (LD_PRELOAD). */
#include <stdlib.h>

long news = 0;

/* operator new(size_t) */
void* _Znwm(size_t bytes) {
  ++news;
  return malloc(bytes);
}
