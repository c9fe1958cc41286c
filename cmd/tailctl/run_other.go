// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package main

import (
	"errors"

	"github.com/tailrace/tailrace/internal/lineproto"
)

func runCommand(*runFlags, lineproto.ClientOptions, []string) error {
	return own(errors.New("run: needs a Unix system"))
}

func trusted(string) bool { return false }
