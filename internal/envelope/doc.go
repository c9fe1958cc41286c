// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package envelope reads the files of the system that Tailrace replaces, so that its folders can be loaded as they are. A line is
//
//	{"type": "trace"|"span"|"log"|"metric"|"score", "data": {…}}
//
// and an older one is the data alone. What a record holds arrives: zero is zero and not null, ids that are no
// OpenTelemetry ids are hashed and kept as attributes, values that are not known (of an enumeration, of a member) become
// attributes. What it becomes:
//
//	span     a span
//	trace    a span that stands for the whole trace: without a parent, with an id made of the trace's, and the attribute
//	         tailrace.record = "trace", by which a summary can tell it from the spans that it sums up
//	log      a log record; its id is log.record.uid
//	score    a log record with the event name gen_ai.evaluation.result
//	metric   a data point: counter → sum (monotonic, delta), gauge → gauge, histogram → a histogram of that one value; its id
//	         stands in an exemplar, so that it does not make a series of its own
package envelope
