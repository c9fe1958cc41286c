// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

import { useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';
import { ApiError, loadSession, post } from '../api/client';
import { ErrorNote, Segmented } from '../ui/ui';

export function Login() {
  const [way, setWay] = useState<'password' | 'token'>('password');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const queries = useQueryClient();

  const submit = async (e: FormEvent<HTMLFormElement>) => {
    e.preventDefault();
    const form = new FormData(e.currentTarget);
    setBusy(true);
    setError(undefined);
    try {
      await post('/login', way === 'token' ? { token: form.get('token') } : { username: form.get('username'), password: form.get('password') });
      queries.clear();
      await loadSession();
    } catch (e) {
      setError(e instanceof ApiError && e.status === 401 ? new Error(way === 'token' ? 'This token is not known, expired or revoked.' : 'Name or password is wrong.') : e);
      setBusy(false);
    }
  };

  return (
    <main className="login">
      <form className="panel" onSubmit={(e) => void submit(e)}>
        <div className="row">
          <img src="/favicon.svg" alt="" width="26" height="26" />
          <h1>Sign in to Tailrace</h1>
        </div>
        <Segmented label="How to sign in" value={way} onChange={setWay} options={[['password', 'Password'], ['token', 'API token']]} />
        {way === 'password' ? (
          <>
            <label className="field">
              Name
              <input className="input" name="username" autoComplete="username" required autoFocus />
            </label>
            <label className="field">
              Password
              <input className="input" name="password" type="password" autoComplete="current-password" required />
            </label>
          </>
        ) : (
          <label className="field">
            Token
            <input className="input mono" name="token" type="password" autoComplete="off" required autoFocus />
          </label>
        )}
        {error !== undefined && <ErrorNote error={error} />}
        <button className="btn primary" disabled={busy}>
          {busy ? 'Signing in …' : 'Sign in'}
        </button>
        <p className="soft">
          Tokens are made where the collector runs: <code>tailctl token create --project shop</code>
        </p>
      </form>
    </main>
  );
}
