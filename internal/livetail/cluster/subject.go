// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"crypto/sha256"
	"encoding/hex"

	"github.com/tailrace/tailrace/internal/livetail"
)

// Subjects that all collectors of a cluster share.
const (
	subjectInterest = "interest" // announcements
	subjectAnswers  = "answers." // and the origin that they are for
	subjectRecords  = "records." // and the token of a project, and the signal
)

var signalTokens = map[livetail.Signal]string{
	livetail.SignalLog: "log", livetail.SignalSpan: "span", livetail.SignalMetric: "metric", livetail.SignalScore: "score",
}

var signals = map[string]livetail.Signal{
	"log": livetail.SignalLog, "span": livetail.SignalSpan, "metric": livetail.SignalMetric, "score": livetail.SignalScore,
}

// subjectOf is where the records of a topic are published.
func subjectOf(t livetail.Topic) string {
	project := "*"
	if !t.All {
		project = token(t.Project)
	}
	return subjectRecords + project + "." + signalTokens[t.Signal]
}

// maxToken is the longest token that is spelt out: buses bound the length of a subject.
const maxToken = 256

// token makes a project's id a token of a subject, different ids different ones: letters, digits, - and _ as they are, other bytes as
// %XX; the empty id is %, a long one %% and its SHA-256.
func token(project string) string {
	if project == "" {
		return "%"
	}
	out := make([]byte, 0, len(project)+8)
	for i := range len(project) {
		switch c := project[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
			out = append(out, c)
		default:
			out = append(out, '%', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15])
		}
	}
	if len(out) > maxToken {
		sum := sha256.Sum256([]byte(project))
		return "%%" + hex.EncodeToString(sum[:])
	}
	return string(out)
}
