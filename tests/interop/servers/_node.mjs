// What the node servers of this folder share: finding their packages, listening on loopback, and keeping a diary.
import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';

// The packages lie in a cache folder, not above this file, where `import` would look for them.
export const require = createRequire(path.join(process.env.INTEROP_NODE, 'package.json'));

export const greetingNames = ['Ada', 'Alan', 'Barbara', 'Grace', 'Linus'];
export const startingWith = value => greetingNames.filter(name => name.toLowerCase().startsWith(value.toLowerCase()));
export const text = value => ({ content: [{ type: 'text', text: value }] });

export function note(entry) {
    if (process.env.INTEROP_DIARY) fs.appendFileSync(process.env.INTEROP_DIARY, `${entry}\n`);
}

// Wait, and reject as soon as the request is cancelled.
export function pause(seconds, signal) {
    return new Promise((resolve, reject) => {
        const timer = setTimeout(resolve, seconds * 1000);
        signal.addEventListener('abort', () => {
            clearTimeout(timer);
            reject(signal.reason ?? new Error('cancelled'));
        });
    });
}

export function serve(handle, port) {
    const server = http.createServer((req, res) => {
        handle(req, res).catch(error => {
            console.error(error);
            if (!res.headersSent) res.writeHead(500);
            res.end();
        });
    });
    server.listen(port, '127.0.0.1', () => console.log(`PORT ${server.address().port}`));
    process.stdin.on('end', () => process.exit(0));
    process.stdin.resume();
    process.on('SIGTERM', () => process.exit(0));
}

export async function bodyOf(req) {
    const pieces = [];
    for await (const piece of req) pieces.push(piece);
    return pieces.length ? JSON.parse(Buffer.concat(pieces).toString('utf-8')) : undefined;
}
