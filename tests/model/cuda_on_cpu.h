// The part of CUDA that model/lstm_grid.cu needs, emulated on a CPU. Every thread is a fiber, which runs until it has
// to wait for others. This tests the arithmetic and the synchronization of a kernel without a GPU. It does not test
// speed, or when a block sees a number that another block has written: here it is visible immediately.
#include <ucontext.h>

#include <cmath>
#include <functional>
#include <vector>

#define __device__
#define __global__
#define __forceinline__ inline
#define __align__(bytes) alignas(bytes)
#define __launch_bounds__(threads, blocks)
#define __shared__

struct Index {
  int x;
};
static Index threadIdx, blockIdx;

struct Barrier {
  int arrived = 0, passed = 0;
};

struct Fiber {
  ucontext_t context;
  std::vector<char> stack;
  Index thread, block;
  bool done = false;
};

static ucontext_t scheduler;
static std::vector<Fiber> fibers;
static Fiber *current;
static int threads_of_block;
static std::vector<std::vector<char>> memory;  // shared memory of each block
static std::vector<Barrier> block_barriers, warp_barriers;
static std::vector<double> exchanged;  // the value that each thread gives to its warp

static void idle() {
  Fiber *self = current;
  swapcontext(&self->context, &scheduler);
  threadIdx = self->thread;
  blockIdx = self->block;
}

static void meet(Barrier &barrier, int count) {
  int passed = barrier.passed;
  if (++barrier.arrived == count) {
    barrier.arrived = 0;
    barrier.passed++;
  }
  while (barrier.passed == passed) idle();
}

static void __syncthreads() { meet(block_barriers[blockIdx.x], threads_of_block); }

static int thread() { return blockIdx.x * threads_of_block + threadIdx.x; }

static void __syncwarp() { meet(warp_barriers[thread() / 32], 32); }

template <class Number>
static Number __shfl_xor_sync(unsigned, Number value, int distance) {
  exchanged[thread()] = value;
  __syncwarp();
  Number other = exchanged[thread() ^ distance];
  __syncwarp();
  return other;
}

template <class Vector>
static void copy_async(Vector *shared, const Vector *global) {
  *shared = *global;
}
static void commit_stage() {}
template <int STAGES_LEFT>
static void wait_for_stages() {}
static void increment(unsigned *counter) { ++*counter; }
static unsigned load_acquire(const unsigned *counter) { return *counter; }

static std::function<void()> kernel;

static void run() {
  kernel();
  current->done = true;
}

static void launch(int blocks, int threads, int shared_memory, std::function<void()> function) {
  kernel = function;
  threads_of_block = threads;
  memory.assign(blocks, std::vector<char>(shared_memory, 0x7f));
  block_barriers.assign(blocks, {});
  warp_barriers.assign(blocks * threads / 32, {});
  exchanged.assign(blocks * threads, 0);
  fibers = std::vector<Fiber>(blocks * threads);
  for (int i = 0; i < blocks * threads; i++) {
    Fiber &fiber = fibers[i];
    fiber.thread = {i % threads};
    fiber.block = {i / threads};
    fiber.stack.resize(32 * 1024);
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = fiber.stack.size();
    fiber.context.uc_link = &scheduler;
    makecontext(&fiber.context, run, 0);
  }
  for (bool waiting = true; waiting;) {
    waiting = false;
    for (Fiber &fiber : fibers)
      if (!fiber.done) {
        waiting = true;
        current = &fiber;
        threadIdx = fiber.thread;
        blockIdx = fiber.block;
        swapcontext(&scheduler, &fiber.context);
      }
  }
}
