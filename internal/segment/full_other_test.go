// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package segment_test

const envFull = "SEGMENT_TEST_FULL"

func runOnFullDisk() {}
