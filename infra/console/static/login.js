// What was looked at stays after logging in: the part of an address after "#" is never sent to the server.
const next = document.querySelector("input[name=next]");
if (location.hash && !next.value.includes("#")) next.value += location.hash;
