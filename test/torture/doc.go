// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package torture writes lines to both streams in every way that hurts, and checks that runner and runner_log hand on
// every byte of them, in order. Both sides make the same lines from a seed, so nothing but the seed is kept.
package torture
