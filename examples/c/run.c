/* Runs an integer program on one picture, without Python:
 *
 *     cc -std=c11 run.c -I"$INCLUDE" -L"$LIB" -lspikedrive -Wl,-rpath,"$LIB" -o run && ./run model.sdx picture.ppm
 *
 * where `spikedrive doctor` names both folders. A picture is a binary PGM or PPM of the program's size, or raw bytes. */
#include <spikedrive.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char* what) {
  fprintf(stderr, "error: %s\n", what);
  return 2;
}

/* Fills `to` with the sample in a file: with all of it, or with what stands behind the header of a PGM or PPM. */
static int read_picture(const char* path, const spikedrive_program* program, unsigned char* to) {
  const size_t size = (size_t)spikedrive_sample_bytes(program), channels = (size_t)spikedrive_size(program, 0);
  const size_t rows = (size_t)spikedrive_size(program, 1), columns = (size_t)spikedrive_size(program, 2);
  unsigned char* from = malloc(size + 64);
  FILE* file = fopen(path, "rb");
  const size_t found = from && file ? fread(from, 1, size + 63, file) : 0;
  if (file) fclose(file);
  if (from) from[found] = 0;
  int kind = 0, width = 0, height = 0, end = 0, right = found == size;
  if (right) {
    memcpy(to, from, size);
  } else if (found && sscanf((char*)from, "P%d %d %d 255%n", &kind, &width, &height, &end) == 3 && end) {
    right = found == (size_t)end + 1 + size && size == channels * rows * columns && kind == (channels == 3 ? 6 : 5) &&
            width == (int)columns && height == (int)rows;
    /* colours lie side by side in the file, and channel after channel in a sample */
    for (size_t i = 0; right && i < size; ++i) to[i % channels * rows * columns + i / channels] = from[end + 1 + (int)i];
  }
  free(from);
  return right;
}

int main(int count, char** words) {
  char message[512];
  if (count != 3) return fail("run takes a program and a picture, as in: run model.sdx picture.ppm");
  spikedrive_program* program = spikedrive_load(words[1], message, sizeof message);
  if (!program) return fail(message);
  const int64_t outputs = spikedrive_outputs(program);
  unsigned char* image = malloc((size_t)spikedrive_sample_bytes(program));
  int64_t *logits = malloc((size_t)outputs * sizeof *logits), best = 0;
  int code = 0;
  if (!image || !logits) code = fail("no memory");
  else if (!read_picture(words[2], program, image)) code = fail("the picture is missing, or not of the program's size");
  else if (spikedrive_run(program, image, 1, 0, logits, &best, message, sizeof message)) code = fail(message);
  for (int64_t k = 0; !code && k < outputs; ++k) {
    const char* name = spikedrive_class_name(program, k);
    printf("%c %-20s %12lld %14.6g\n", k == best ? '*' : ' ', name ? name : "", (long long)logits[k],
           (double)logits[k] * spikedrive_scale(program));
  }
  free(logits), free(image);
  spikedrive_free(program);
  return code;
}
