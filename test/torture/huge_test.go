// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !race

package torture

const huge = 100 << 20
