// Preloaded into the suite, whose mock servers listen on every address: they listen on 127.0.0.1 only.
import net from 'node:net';

// What listen() comes down to once an address is known. listen() itself looks a host up first, and the suite asks for
// the port before that is done. Should a later Node have no such thing, the servers listen on every address again.
const listen = net.Server.prototype._listen2;

net.Server.prototype._listen2 = function (address, port, family, ...rest) {
    return typeof port === 'number' && port >= 0 && !address
        ? listen.call(this, '127.0.0.1', port, 4, ...rest)
        : listen.call(this, address, port, family, ...rest);
};
