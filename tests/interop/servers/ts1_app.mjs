// The TypeScript SDK 1.x over Streamable HTTP, in the ways that server-everything does not show.
//
//     node ts1_app.mjs {polling,json,stateless} [port]
//
// `polling` stores events and has a tool that ends its stream before the answer, with `retry: 500`.
import { randomUUID } from 'node:crypto';

import { bodyOf, note, pause, require, serve, text } from './_node.mjs';

const { McpServer } = require('@modelcontextprotocol/sdk/server/mcp.js');
const { StreamableHTTPServerTransport } = require('@modelcontextprotocol/sdk/server/streamableHttp.js');
const { z } = require('zod');

const sessions = new Map(); // session id -> transport

// Keeps every event of every stream, in order; the id is the stream and the position.
class MemoryEventStore {
    events = [];
    async storeEvent(streamId, message) {
        this.events.push({ streamId, message });
        return `${streamId}_${this.events.length}`;
    }
    async getStreamIdForEventId(eventId) {
        return eventId.slice(0, eventId.lastIndexOf('_'));
    }
    async replayEventsAfter(lastEventId, { send }) {
        const position = Number(lastEventId.slice(lastEventId.lastIndexOf('_') + 1));
        const streamId = this.events[position - 1]?.streamId;
        for (let at = position; at < this.events.length; at++) {
            const { streamId: of, message } = this.events[at];
            if (of === streamId && Object.keys(message).length) await send(`${of}_${at + 1}`, message);
        }
        return streamId;
    }
}

function build() {
    const server = new McpServer({ name: 'interop-ts1', version: '1.32.2' }, { instructions: 'A server for tests.' });
    server.registerTool('echo', { description: 'Give the message back.', inputSchema: { message: z.string() } }, ({ message }) => {
        note('echo');
        return text(message);
    });
    server.registerTool(
        'add',
        {
            description: 'Add two whole numbers.',
            inputSchema: { a: z.number().int(), b: z.number().int() },
            outputSchema: { total: z.number().int(), text: z.string() }
        },
        ({ a, b }) => {
            const sum = { total: a + b, text: `${a} + ${b}` };
            return { ...text(JSON.stringify(sum)), structuredContent: sum };
        }
    );
    server.registerTool(
        'slow',
        { description: 'Take a while, and report progress meanwhile.', inputSchema: { seconds: z.number(), steps: z.number().int().default(4) } },
        async ({ seconds, steps }, extra) => {
            note('slow started');
            try {
                await stepwise(extra, steps, seconds);
            } catch (error) {
                note('slow cancelled');
                throw error;
            }
            note('slow done');
            return text('done');
        }
    );
    server.registerTool('fail', { description: 'Fail.', inputSchema: { reason: z.string().default('no reason') } }, ({ reason }) => {
        throw new Error(`failed: ${reason}`);
    });
    server.registerTool('drop', { description: "End the answer's stream before the answer.", inputSchema: {} }, async (_, extra) => {
        note('drop started');
        extra.closeSSEStream?.();
        await pause(0.2, extra.signal);
        return text('survived');
    });
    server.registerTool(
        'drop_slowly',
        { description: 'Say something, end the stream, and answer later.', inputSchema: { seconds: z.number().default(0.5) } },
        async ({ seconds }, extra) => {
            note('drop_slowly started');
            await progress(extra, 1, 2, 'before');
            extra.closeSSEStream?.();
            await pause(seconds, extra.signal);
            await progress(extra, 2, 2, 'after');
            return text('survived slowly');
        }
    );
    return server;
}

async function progress(extra, done, total, message) {
    const progressToken = extra._meta?.progressToken;
    if (progressToken === undefined) return;
    await extra.sendNotification({ method: 'notifications/progress', params: { progressToken, progress: done, total, message } });
}

async function stepwise(extra, steps, seconds) {
    for (let step = 1; step <= steps; step++) {
        await progress(extra, step, steps, `step ${step}`);
        await pause(seconds / steps, extra.signal);
    }
}

const [kind, port = '0'] = process.argv.slice(2);

async function transportFor(id) {
    if (kind !== 'stateless' && sessions.has(id)) return sessions.get(id);
    const transport = new StreamableHTTPServerTransport({
        sessionIdGenerator: kind === 'stateless' ? undefined : () => randomUUID(),
        enableJsonResponse: kind === 'json',
        eventStore: kind === 'polling' ? new MemoryEventStore() : undefined,
        retryInterval: kind === 'polling' ? 500 : undefined,
        onsessioninitialized: minted => void sessions.set(minted, transport),
        onsessionclosed: closed => void sessions.delete(closed)
    });
    await build().connect(transport);
    return transport;
}

serve(async (req, res) => {
    if (new URL(req.url, 'http://localhost').pathname !== '/mcp' || (kind === 'stateless' && req.method !== 'POST')) {
        res.writeHead(kind === 'stateless' ? 405 : 404);
        res.end();
        return;
    }
    const id = req.headers['mcp-session-id'];
    const said = await bodyOf(req);
    if (kind !== 'stateless' && id !== undefined && !sessions.has(id)) {
        res.writeHead(404, { 'Content-Type': 'application/json' });
        res.end(JSON.stringify({ jsonrpc: '2.0', error: { code: -32001, message: 'Session not found' }, id: null }));
        return;
    }
    await (await transportFor(id)).handleRequest(req, res, said);
}, Number(port));
