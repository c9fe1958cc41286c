// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

// Package access decides who may see which project. REST, live tail and the web UI share it.
//
// A Caller is the answer to "who is asking": an immutable value that says, project by project, whether something may be
// read or operated. It comes from an Authority, which knows the credentials and the rules; it is decided again when
// it expires or when the rules change. A nil *Caller may see nothing, so that a forgotten check refuses.
//
// A Gate is the Authority where authentication is configured. It knows API tokens (a TokenFile), sessions of browsers, and what
// authenticators of the collector tell; Rules turn an Identity into a Caller at each request, so that changed rules
// count at once. Open is the Authority where nothing is configured.
//
// The package knows neither the collector nor HTTP routes, except for the headers that carry a credential.
package access
