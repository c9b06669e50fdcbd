/* The functions of OpenMP that this folder uses. omp.h is not included, since clang may be installed without it. */
#pragma once

void omp_set_num_threads(int threads);
int omp_get_max_threads(void);
int omp_get_num_threads(void);
int omp_get_thread_num(void);
int omp_in_parallel(void);
