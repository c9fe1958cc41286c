// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package logline reads what programs print: the level, message, time, trace and attributes of a line (Parser), and
// which lines belong together because they are one stack trace (Grouper). It knows nothing of the collector.
//
// Nothing is guessed: a line in which no known layout is found comes back as it is, without a severity. A line that has
// been read can be read again and gives the same result. Everything is bounded: the number of attributes, the depth
// to which objects are taken apart, the part of a line in which a prefix is looked for, the size and the age of a group.
package logline
