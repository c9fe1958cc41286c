// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package access

// lockFile does nothing: see TokenFile.
func lockFile(string) (unlock func(), err error) { return func() {}, nil }
