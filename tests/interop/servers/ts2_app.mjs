// The TypeScript SDK 2.x: one server for 2026-07-28 and for the sessions of older revisions.
//
//     node ts2_app.mjs {http,stateless,stdio} [port]
import { randomUUID } from 'node:crypto';

import { bodyOf, note, pause, require, serve, startingWith, text } from './_node.mjs';

const { McpServer, ResourceTemplate, acceptedContent, completable, createMcpHandler, inputRequired, isLegacyRequest } =
    require('@modelcontextprotocol/server');
const { serveStdio } = require('@modelcontextprotocol/server/stdio');
const { NodeStreamableHTTPServerTransport, toNodeHandler, toWebRequest } = require('@modelcontextprotocol/node');
const { z } = require('zod');

const NOTE = 'note://current';
let current = 'first';
let modern; // the handler of 2026-07-28, whose bus its listeners hang on
const sessions = new Map(); // session id -> transport, for older revisions
const live = new Set(); // servers whose client may have subscribed

function build({ era }) {
    const server = new McpServer(
        { name: 'interop-ts2', version: '2.4.0' },
        {
            instructions: 'A server for tests.',
            capabilities: { logging: {}, tools: { listChanged: true }, resources: { subscribe: true, listChanged: true } }
        }
    );
    const subscribed = new Set();
    live.add({ server, subscribed });

    server.registerTool('echo', { description: 'Give the message back.', inputSchema: z.object({ message: z.string() }) }, ({ message }) => {
        note('echo');
        return text(message);
    });
    server.registerTool(
        'add',
        {
            description: 'Add two whole numbers.',
            inputSchema: z.object({ a: z.number().int(), b: z.number().int() }),
            outputSchema: z.object({ total: z.number().int(), text: z.string() })
        },
        ({ a, b }) => {
            const sum = { total: a + b, text: `${a} + ${b}` };
            return { ...text(JSON.stringify(sum)), structuredContent: sum };
        }
    );
    server.registerTool(
        'slow',
        {
            description: 'Take a while, and report progress meanwhile.',
            inputSchema: z.object({ seconds: z.number(), steps: z.number().int().default(4) })
        },
        async ({ seconds, steps }, ctx) => {
            note('slow started');
            const progressToken = ctx.mcpReq._meta?.progressToken;
            try {
                for (let step = 1; step <= steps; step++) {
                    if (progressToken !== undefined) {
                        await ctx.mcpReq.notify({
                            method: 'notifications/progress',
                            params: { progressToken, progress: step, total: steps, message: `step ${step}` }
                        });
                    }
                    await pause(seconds / steps, ctx.mcpReq.signal);
                }
            } catch (error) {
                note('slow cancelled');
                throw error;
            }
            note('slow done');
            return text('done');
        }
    );
    server.registerTool('fail', { description: 'Fail.', inputSchema: z.object({ reason: z.string().default('no reason') }) }, ({ reason }) => {
        throw new Error(`failed: ${reason}`);
    });
    server.registerTool(
        'ask',
        { description: 'Ask the user for a name.', inputSchema: z.object({ question: z.string() }) },
        ({ question }, ctx) => {
            const answer = ctx.mcpReq.inputResponses?.who;
            if (answer === undefined) {
                const requestedSchema = z.object({ name: z.string() });
                return inputRequired({ inputRequests: { who: inputRequired.elicit({ message: question, requestedSchema }) } });
            }
            const person = acceptedContent(ctx.mcpReq.inputResponses, 'who');
            return text(person ? `accept ${person.name}` : answer.action);
        }
    );
    server.registerTool(
        'sample',
        { description: "Ask the client's model.", inputSchema: z.object({ prompt: z.string() }) },
        ({ prompt }, ctx) => {
            const answer = ctx.mcpReq.inputResponses?.thought;
            if (answer === undefined) {
                const messages = [{ role: 'user', content: { type: 'text', text: prompt } }];
                return inputRequired({ inputRequests: { thought: inputRequired.createMessage({ messages, maxTokens: 50 }) } });
            }
            return text(`${answer.model}: ${answer.content.text}`);
        }
    );
    server.registerTool('roots', { description: "Name the client's roots.", inputSchema: z.object({}) }, (_, ctx) => {
        const answer = ctx.mcpReq.inputResponses?.where;
        if (answer === undefined) return inputRequired({ inputRequests: { where: inputRequired.listRoots() } });
        return text(answer.roots.map(root => root.uri).join(' '));
    });
    server.registerTool(
        'log',
        { description: 'Send a log message.', inputSchema: z.object({ message: z.string(), level: z.string().default('info') }) },
        async ({ message, level }, ctx) => {
            await ctx.mcpReq.log(level, { text: message }, 'interop');
            return text('logged');
        }
    );
    server.registerTool('big', { description: 'Give back n characters.', inputSchema: z.object({ n: z.number().int() }) }, ({ n }) =>
        text('The quick brown fox. OK\n'.repeat(Math.ceil(n / 24)).slice(0, n))
    );
    server.registerTool(
        'write_note',
        { description: 'Change note://current and tell who subscribed.', inputSchema: z.object({ text: z.string() }) },
        async ({ text: words }) => {
            current = words;
            modern?.notify.resourceUpdated(NOTE);
            for (const { server: other, subscribed: uris } of live) {
                if (uris.has(NOTE)) await other.server.sendResourceUpdated({ uri: NOTE });
            }
            // Over stdio there is one server for the connection, and serveStdio hands this on to who listens.
            if (era === 'modern' && modern === undefined) await server.server.sendResourceUpdated({ uri: NOTE });
            return text('written');
        }
    );

    const updated = () => ({ contents: [{ uri: NOTE, mimeType: 'text/plain', text: current }] });
    server.registerResource('note', NOTE, { description: 'The current note.', mimeType: 'text/plain' }, updated);
    server.registerResource('greeting', new ResourceTemplate('greeting://{name}', { list: undefined }), { description: 'A greeting.' }, (uri, { name }) => ({
        contents: [{ uri: uri.href, mimeType: 'text/plain', text: `Hello, ${name}!` }]
    }));
    server.registerResource('blob', 'blob://bytes', { description: 'Four bytes.', mimeType: 'application/octet-stream' }, uri => ({
        contents: [{ uri: uri.href, mimeType: 'application/octet-stream', blob: 'AP8QgA==' }]
    }));
    server.registerPrompt(
        'greet',
        { description: 'Ask for a greeting.', argsSchema: z.object({ name: completable(z.string(), startingWith) }) },
        ({ name }) => ({ messages: [{ role: 'user', content: { type: 'text', text: `Please greet ${name}.` } }] })
    );
    if (era === 'legacy') {
        server.server.setRequestHandler('resources/subscribe', request => {
            note(`subscribe ${request.params.uri}`);
            subscribed.add(request.params.uri);
            return {};
        });
        server.server.setRequestHandler('resources/unsubscribe', request => {
            note(`unsubscribe ${request.params.uri}`);
            subscribed.delete(request.params.uri);
            return {};
        });
    }
    return server;
}

// A session of an older revision: its own server, found again by the id it was given.
async function legacy(req, res, said) {
    const id = req.headers['mcp-session-id'];
    let transport = sessions.get(id);
    if (transport === undefined && id !== undefined) {
        res.writeHead(404, { 'Content-Type': 'application/json' });
        res.end(JSON.stringify({ jsonrpc: '2.0', error: { code: -32001, message: 'Session not found' }, id: null }));
        return;
    }
    if (transport === undefined) {
        transport = new NodeStreamableHTTPServerTransport({
            sessionIdGenerator: () => randomUUID(),
            onsessioninitialized: minted => void sessions.set(minted, transport),
            onsessionclosed: closed => void sessions.delete(closed)
        });
        await build({ era: 'legacy' }).connect(transport);
    }
    await transport.handleRequest(req, res, said);
}

const [kind, port = '0'] = process.argv.slice(2);
if (kind === 'stdio') {
    serveStdio(build);
} else {
    modern = createMcpHandler(build, { legacy: kind === 'stateless' ? 'stateless' : 'reject' });
    const handle = toNodeHandler(modern);
    serve(async (req, res) => {
        if (new URL(req.url, 'http://localhost').pathname !== '/mcp') {
            res.writeHead(404);
            res.end();
            return;
        }
        if (kind === 'stateless') {
            await handle(req, res);
            return;
        }
        // A body can be read once: it is read here, and what it said is handed on.
        const said = await bodyOf(req);
        await ((await isLegacyRequest(await toWebRequest(req, said), said)) ? legacy : handle)(req, res, said);
    }, Number(port));
}
