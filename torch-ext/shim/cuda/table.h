// Parameters of one launch of an optimizer's kernels, passed from the host to the device.
struct Entry {
  float *parameter;
  const float *gradient;
  float *first, *second, *step;
  // Number of elements, index of the first block, and index of the group in the table.
  unsigned elements, block;
  int group;
};
constexpr int kEntries = 40, kGroups = 16;
// Elements per block.
constexpr unsigned kChunk = 2048;
struct Table {
  Entry entries[kEntries];
  const float *rate[kGroups];
  float *found[kGroups];
  int count;
};
