// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package cgroup bounds the memory of process trees by control groups of the kernel, version 2 or 1. It needs Linux; elsewhere
// the package is empty.
//
// A process must not make groups just anywhere: on a machine with systemd the tree of groups belongs to it, apart from what it has
// delegated. So groups are made below the one that the user names, or else below our own; with version 2, where a group that has
// processes can't limit groups below it, below the parent of our own if systemd has delegated that (Delegate=, DelegateSubgroup=).
package cgroup
