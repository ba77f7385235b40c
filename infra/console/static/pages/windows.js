export const title = "Windows";

export function mount(root, ctx) {
}
