// Preloaded into node servers that were written to listen everywhere on a fixed port: they listen on 127.0.0.1 only,
// say `PORT n` when they do, and end when stdin ends, so that a test run that was killed leaves no server behind.
import net from 'node:net';

const listen = net.Server.prototype.listen;

net.Server.prototype.listen = function (port, ...rest) {
    const ready = rest.find(argument => typeof argument === 'function');
    this.once('listening', () => console.log(`PORT ${this.address().port}`));
    return listen.call(this, { port: Number(port), host: '127.0.0.1' }, ready);
};

process.stdin.on('end', () => process.exit(0));
process.stdin.resume();
