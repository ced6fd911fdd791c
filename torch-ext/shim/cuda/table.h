// What one launch of an optimizer's kernels works on, as host and device both see it.
struct Entry {
  float *parameter;
  const float *gradient;
  float *first, *second, *step;
  // Its elements, the first of its blocks, and its group.
  unsigned elements, block;
  int group;
};
constexpr int kEntries = 40, kGroups = 16;
// Elements a block.
constexpr unsigned kChunk = 2048;
struct Table {
  Entry entries[kEntries];
  const float *rate[kGroups];
  float *found[kGroups];
  int count;
};
