/* Integer programs (.sdx, which `spikedrive compile` writes) in C: load one, ask for its shapes, run images through it.
 *
 * Messages go into `room` bytes of the caller's: UTF-8, ended by 0, cut where they are longer; a `message` of NULL asks
 * for none. Nothing is thrown: memory that runs out is a message as well. A program does not change once it is loaded,
 * so that several threads may run it at once. `spikedrive doctor` names the folders of this header and of the library.
 */
#ifndef SPIKEDRIVE_H
#define SPIKEDRIVE_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define SPIKEDRIVE_API __attribute__((visibility("default")))
#else
#define SPIKEDRIVE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct spikedrive_program spikedrive_program;

/* As the Python package says it. */
SPIKEDRIVE_API const char* spikedrive_version(void);

/* The program in a file, or NULL and a message. The file is mapped, not read: to put another in its place while a
 * program lives, rename one over it. The widest instruction set of the machine is taken, or what the environment
 * variable SPIKEDRIVE_ISA names. */
SPIKEDRIVE_API spikedrive_program* spikedrive_load(const char* path, char* message, size_t room);

/* The program in the bytes of a file, which are copied. */
SPIKEDRIVE_API spikedrive_program* spikedrive_read(const void* bytes, size_t size, char* message, size_t room);

/* Nobody may be running it; NULL is nothing to free. */
SPIKEDRIVE_API void spikedrive_free(spikedrive_program* program);

/* A sample is `steps` inputs (1, but for sequences) of `axes` sizes each: of images channels, rows, columns. */
SPIKEDRIVE_API int64_t spikedrive_steps(const spikedrive_program* program);
SPIKEDRIVE_API int64_t spikedrive_axes(const spikedrive_program* program);
/* The size of an axis from 0 on; 0 of one that there is not. */
SPIKEDRIVE_API int64_t spikedrive_size(const spikedrive_program* program, int64_t axis);
/* The largest integer that it takes: 255 of pixels, the last id of tokens. Where that is more than 255 the input is
 * int32_t, else uint8_t. */
SPIKEDRIVE_API int64_t spikedrive_largest(const spikedrive_program* program);
/* The bytes of a sample: all steps, sizes and the bytes of an integer multiplied. */
SPIKEDRIVE_API int64_t spikedrive_sample_bytes(const spikedrive_program* program);

/* How many logits there are, and the real number that one unit of them stands for. */
SPIKEDRIVE_API int64_t spikedrive_outputs(const spikedrive_program* program);
SPIKEDRIVE_API double spikedrive_scale(const spikedrive_program* program);
/* The name of a class from 0 on, which lives as long as the program; NULL where it has none. */
SPIKEDRIVE_API const char* spikedrive_class_name(const spikedrive_program* program, int64_t output);

/* The instruction set that it runs on. */
SPIKEDRIVE_API const char* spikedrive_instruction_set(const spikedrive_program* program);

/* Runs `batch` samples, integers (steps, batch, sizes...) row by row, on `threads` threads (0: OMP_NUM_THREADS or every
 * core). `logits` gets (batch, outputs) and `predictions`, unless it is NULL, the place of the largest logit of
 * each sample, the first of equal ones. The integers do not depend on threads, batch or machine. 0, or -1 and a message. */
SPIKEDRIVE_API int spikedrive_run(const spikedrive_program* program, const void* input, int64_t batch, int threads,
                                  int64_t* logits, int64_t* predictions, char* message, size_t room);

#ifdef __cplusplus
}
#endif

#endif
